"""What looks alike and isn't, or is alike and looks otherwise: kinds of inputs, and spellings of a label."""
