// Package issuer speaks OpenID Connect with one issuer: where a person goes to sign on, and who came back.
//
// It owns the protocol: discovery, PKCE, the exchange of a code, and all that must hold of an ID token. It does not own
// who somebody is to us and what they may do, nor what happens between browser and server: that is package admin.
//
//	NewFlow ─▶ Address ─▶ the person, at the issuer ─▶ a code ─▶ Identify ─▶ Identity
//	  └──────────── kept in the browser, sealed ──────────────────┘
//
// The issuer is asked only when somebody signs on. What it says of itself is kept for an hour, and longer while it does
// not answer; an issuer that does not answer is asked again after a pause that grows.
package issuer
