// Package task tells what kind of work a call asks for: code, reasoning, research or something simple.
//
// It owns the model that decides (a linear one over words and cues, trained offline from the prompts beside it) and
// the words in which it says why. It decides from the bytes of the request alone, without a network and without
// allocating, in microseconds. It does not know where which kind of work goes; that is a route's to say.
//
// What counts is what the last turn of the user asks for, not what the text around it is about:
//
//	messages ──▶ turn       the last turn of the user, decoded: its first and its last part
//	             │
//	             ▼
//	             reader     words and cues of what is asked; what is quoted, fenced or attached is kept apart
//	             │
//	             ▼
//	             Model      one weight for each of them and each label; the largest sum decides
//
// The program in train makes weights.bin out of training and cues.txt. Nothing else writes it.
package task
