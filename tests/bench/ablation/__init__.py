"""A recipe in many variants, trained and compared on the validation split."""

AS_IT_IS = "as it is"
