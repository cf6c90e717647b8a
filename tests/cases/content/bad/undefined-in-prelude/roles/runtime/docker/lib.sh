name={{ machine.nmae | q }}
