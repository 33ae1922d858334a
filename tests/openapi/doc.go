// Package openapi holds HTTP answers against the OpenAPI 3.1 document that promises them. It reads what such a document
// says of operations and their answers; what it says of requests is only handed out.
package openapi
