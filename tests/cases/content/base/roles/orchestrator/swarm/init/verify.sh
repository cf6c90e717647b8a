echo {{ params.advertise_network | q }}
