"""Updates of the parameters: a file for each value of `memory` in a recipe."""
