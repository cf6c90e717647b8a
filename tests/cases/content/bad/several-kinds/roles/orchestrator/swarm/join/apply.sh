echo {{ nope }}
