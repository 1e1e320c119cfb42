"""Labels added to a trained model: new rows of its output layer, fitted while every old one stays as it is.

Not the growth of connections during a training, which is in `training.growth`.
"""
