echo {{ machine.nmae | q }}
