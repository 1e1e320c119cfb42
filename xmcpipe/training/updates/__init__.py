"""How a step changes the parameters: a file for each `memory` of a recipe."""
