echo {{ artifacts[machine.name].digest }}
