module jackfield.example/sprites-go

go 1.24

require github.com/superfly/sprites-go v0.0.0-20260527183125-476284aa7404

require (
	github.com/Masterminds/semver/v3 v3.2.1 // indirect
	github.com/gorilla/websocket v1.5.0 // indirect
	golang.org/x/sys v0.0.0-20210615035016-665e8c7367d1 // indirect
	golang.org/x/term v0.0.0-20220526004731-065cf7ba2467 // indirect
)
