module client

go 1.24.0

require (
	connectrpc.com/connect v1.19.2
	example.com/kv v0.0.0
)

require google.golang.org/protobuf v1.36.11 // indirect

replace example.com/kv => ../../../../examples/kv/go
