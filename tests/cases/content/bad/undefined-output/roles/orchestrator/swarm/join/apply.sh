echo {{ outputs.init.manager_address | q }}
