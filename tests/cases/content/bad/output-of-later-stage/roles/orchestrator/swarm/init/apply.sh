echo {{ outputs['join-worker'].by_machine }}
