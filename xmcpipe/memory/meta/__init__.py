"""What makes a rehearsal on the device "meta" quick: encoders without transformers, results remembered."""
