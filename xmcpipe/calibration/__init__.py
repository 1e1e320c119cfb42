"""From scores to probabilities that can be believed: how they are fitted, stored, applied and checked.

A model is calibrated if, of all predictions with a probability of 0.7, seven in ten are right. `maps` turn
scores into probabilities, `fitting` fits them on documents that the model was not trained on, `selection`
chooses among them, `thresholds` chooses where to cut, `saved` writes and reads the result, and `reliability`
measures how far probabilities are from what happens.

Reading and applying need NumPy only: prediction imports no scikit-learn.
"""
