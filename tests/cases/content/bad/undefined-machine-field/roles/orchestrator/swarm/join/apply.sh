echo {{ machine.adress | q }}
