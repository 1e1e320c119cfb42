"""A first recipe for the user's own data: look at the data, choose the settings, write them with the reasons.

`xmcpipe init` calls these in turn: survey.survey, recipe.draft, text.recipe_text.
"""
