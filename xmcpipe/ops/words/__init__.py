"""Words of the document, the layer's second source: what is computed, and which words a label should read."""
