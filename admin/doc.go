// Package admin lets people and automation manage the house: a JSON API below /api, described by its own OpenAPI 3.1
// document, and a page that shows the document.
//
// It owns who may do what over HTTP: credentials, permissions, the form of requests, answers and errors. It does not
// own what it manages (the rooms below) or how that is kept (package storage).
//
// A request passes these steps, and each may end it with a problem (RFC 9457):
//
//	ServeHTTP   an id, headers, the path                                          404 405
//	admit       who asks, by a token, a key or a cookie, and may they do this
//	            at all: the table in need.go                                      401 403 503
//	huma        parameters and body against their schema, then Validate of tenancy      400 413 415 422
//	handler     whose object, which revision, nobody gives more than they have    403 404 409 412 422
//
// A kind of object is one file: its bodies, how they become an object and back, and one resource that register makes
// five operations of. What they need stands in need.go; until it does, they are open to nobody.
package admin
