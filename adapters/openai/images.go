package openai

import (
	"github.com/tidwall/gjson"

	"github.com/vel-gateway/vel/adapters"
)

// images is the codec for making, changing and varying pictures. An answer is JSON or a stream in which each event
// is a picture, megabytes long.
func images(e adapters.Endpoint) *codec {
	return &codec{path: "/" + e.String(), answer: "a list of images", marker: "data", pictures: true, events: &imageEvents, more: countImages}
}

var imageEvents = eventKind{
	last: []string{"image_generation.completed", "image_edit.completed"},
	usage: func(u *adapters.Usage, data string) bool {
		made := u[adapters.Images] + 1
		counted := ReadUsage(u, gjson.Get(data, "usage").Raw)
		u[adapters.Images] = made
		*u = drawn(*u)
		return counted || made > 0
	},
}

// countImages counts the pictures: older models charge for each.
func countImages(u adapters.Usage, answer string) adapters.Usage {
	u[adapters.Images] = gjson.Get(answer, "data.#").Int()
	return drawn(u)
}

// drawn makes the output tokens those of pictures, which they all are where the provider does not tell them apart.
func drawn(u adapters.Usage) adapters.Usage {
	if u[adapters.ImageOut] == 0 {
		u[adapters.ImageOut], u[adapters.Output] = u[adapters.Output], 0
	}
	return u
}
