tar -xf {{ files['bundle.tar'] | q }}
