# Which member this machine is; an empty id where it is none.
ask_node
printf '{"leaving_hostname":"%s","leaving_node_id":"%s","state":"%s"}\n' "$node_name" "$node_id" "$node_state"
