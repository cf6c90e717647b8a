tar -xf {{ files.bundle | q }}
