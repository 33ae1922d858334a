package admin

import "github.com/danielgtaylor/huma/v2"

// orNull says of members that are objects that they may be null: of a pointer to one the document would say that it is there.
func orNull(s *huma.Schema, members ...string) *huma.Schema {
	for _, name := range members {
		m := s.Properties[name]
		s.Properties[name] = &huma.Schema{Description: m.Description, AnyOf: []*huma.Schema{{Ref: m.Ref}, {Type: "null"}}}
	}
	return s
}

// TransformSchema says what may be null.
func (CallLine) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "team", "user", "key")
}

// TransformSchema says what may be null.
func (Call) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "team", "user", "key", "content", "mirror")
}

// TransformSchema says what may be null.
func (Costs) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "organization")
}

// TransformSchema says what may be null.
func (Price) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "general")
}

// TransformSchema says what may be null.
func (AuditEvent) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	return orNull(s, "object")
}
