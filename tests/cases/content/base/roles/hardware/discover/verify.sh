echo "{}" # {{ machine.name | q }}
