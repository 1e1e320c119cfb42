"""Which words the labels read: chosen before the training, and again at rewirings."""
