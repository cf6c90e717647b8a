join {{ outputs.init.manager_addr | q }}
