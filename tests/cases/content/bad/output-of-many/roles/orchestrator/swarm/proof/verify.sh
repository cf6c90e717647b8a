echo {{ outputs['join-worker'].node }}
