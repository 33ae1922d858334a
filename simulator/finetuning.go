package simulator

import (
	"slices"
	"time"
)

// createTuning understands POST /v1/fine_tuning/jobs. A job goes on each time that it is read: validating_files,
// running, succeeded.
func createTuning(c *call) (job, *apiError) {
	m, e := readObject(c.body)
	if e != nil {
		return job{}, e
	}
	model, e := m.required("model")
	if e != nil {
		return job{}, e
	}
	training, e := m.required("training_file")
	if e != nil {
		return job{}, e
	}
	metadata, e := m.metadata()
	if e != nil {
		return job{}, e
	}
	return operation(m.wordsIn(), func(c *call) (reply, *apiError) {
		if _, ok := c.server.provider.profile(model); !ok {
			return nil, errModel(model)
		}
		if _, ok := c.server.shelf.find(c.account, "file", training); !ok {
			return nil, &apiError{status: 400, param: "training_file", code: "invalid_training_file", message: "invalid training_file: " + training}
		}
		t := &thing{account: c.account, kind: "ftjob", id: "ftjob-" + randomName(24), created: time.Now()}
		t.doc = obj{
			"id": t.id, "object": "fine_tuning.job", "model": model, "created_at": t.created.Unix(), "finished_at": nil, "fine_tuned_model": nil,
			"organization_id": "org-" + c.server.provider.Name, "result_files": []string{}, "status": "validating_files", "error": obj{},
			"validation_file": m.orNull("validation_file"), "training_file": training, "trained_tokens": nil, "seed": m.or("seed", 0),
			"hyperparameters":      m.or("hyperparameters", obj{"n_epochs": "auto", "batch_size": "auto", "learning_rate_multiplier": "auto"}),
			"user_provided_suffix": m.orNull("suffix"), "integrations": []obj{}, "estimated_finish": nil, "metadata": metadata,
			"method": m.or("method", obj{"type": "supervised"}),
		}
		c.server.shelf.put(t)
		return answered(t.doc)
	})
}

func listTunings(c *call) (job, *apiError) { return c.listing("ftjob") }

func getTuning(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		t, ok := c.server.shelf.find(c.account, "ftjob", c.path[0])
		if !ok {
			return nil, errNoObject("ftjob", c.path[0])
		}
		more := obj(nil)
		switch t.doc["status"] {
		case "validating_files":
			more = obj{"status": "running"}
		case "running":
			model, _ := t.doc["model"].(string)
			more = obj{
				"status": "succeeded", "finished_at": time.Now().Unix(), "trained_tokens": 1000,
				"fine_tuned_model": "ft:" + model + ":" + c.server.provider.Name + "::" + t.id[len("ftjob-"):][:8],
			}
		}
		return c.moved("ftjob", t.doc["status"], more)
	})
}

func cancelTuning(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		t, e := c.server.shelf.change(c.account, "ftjob", c.path[0], func(t *thing) *apiError {
			status, _ := t.doc["status"].(string)
			if status != "validating_files" && status != "running" {
				return &apiError{status: 400, message: "Job has already completed: " + t.id}
			}
			t.doc = t.doc.with(obj{"status": "cancelled", "finished_at": time.Now().Unix()})
			return nil
		})
		if e != nil {
			return nil, e
		}
		return answered(t.doc)
	})
}

// told lists what became of a job, oldest first: one entry for each status that it went through.
func (c *call) told(entry func(t *thing, i int, status string) obj, only ...string) (reply, *apiError) {
	t, ok := c.server.shelf.find(c.account, "ftjob", c.path[0])
	if !ok {
		return nil, errNoObject("ftjob", c.path[0])
	}
	status, _ := t.doc["status"].(string)
	path := []string{"validating_files", "running", "succeeded"}
	if i := slices.Index(path, status); i >= 0 {
		path = path[:i+1]
	} else {
		path = []string{"validating_files", status}
	}
	var entries []obj
	for i, at := range path {
		if len(only) == 0 || slices.Contains(only, at) {
			entries = append(entries, entry(&t, i, at))
		}
	}
	return page(c.r.URL.Query(), entries)
}

func tuningEvents(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		return c.told(func(t *thing, i int, status string) obj {
			return obj{
				"id": "ftevent-" + t.id[len("ftjob-"):] + string(rune('0'+i)), "object": "fine_tuning.job.event", "created_at": t.created.Unix() + int64(i),
				"level": "info", "message": "The job is " + status + ".", "type": "message", "data": obj{},
			}
		})
	})
}

func tuningCheckpoints(*call) (job, *apiError) {
	return operation(nil, func(c *call) (reply, *apiError) {
		return c.told(func(t *thing, i int, _ string) obj {
			model, _ := t.doc["fine_tuned_model"].(string)
			return obj{
				"id": "ftckpt_" + t.id[len("ftjob-"):], "object": "fine_tuning.job.checkpoint", "created_at": t.created.Unix() + int64(i),
				"fine_tuned_model_checkpoint": model + ":ckpt-step-10", "fine_tuning_job_id": t.id, "step_number": 10,
				"metrics": obj{"step": 10, "train_loss": 0.5, "train_mean_token_accuracy": 0.9},
			}
		}, "succeeded")
	})
}
