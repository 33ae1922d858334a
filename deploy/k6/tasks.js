// Users who make tasks, follow their answers and look at them, in three stages that k6 runs one after the other:
// 50 to 200 users, spikes of 400, and 1,000 at once.
//
//   VEL_URL=https://vel.example.com VEL_KEYS=keys.txt k6 run deploy/k6/tasks.js
//   k6 run -e STAGE=spikes deploy/k6/tasks.js        # one stage alone
//
// keys.txt has one key a line, each with a role that may execute tasks. A user may have ten unfinished tasks at once
// (tasks.per_user), so there should be at least as many keys of different users as there are users.
import http from 'k6/http';
import { check, sleep } from 'k6';
import { SharedArray } from 'k6/data';
import { Rate, Trend } from 'k6/metrics';

const base = __ENV.VEL_URL || 'http://127.0.0.1:8080';
const model = __ENV.MODEL || 'sim-fast';
const keys = new SharedArray('keys', () => open(__ENV.VEL_KEYS || 'keys.txt').split('\n').filter((line) => line !== ''));

const created = new Trend('task_create', true);
const status = new Trend('task_status', true);
const opened = new Trend('task_stream_open', true);
const failed = new Rate('task_failed');

const scenarios = {
  ramp: {
    executor: 'ramping-vus', startVUs: 50,
    stages: [{ target: 100, duration: '30s' }, { target: 200, duration: '30s' }, { target: 200, duration: '1m' }, { target: 50, duration: '30s' }],
  },
  spikes: {
    executor: 'ramping-vus', startVUs: 50,
    stages: [
      { target: 50, duration: '20s' }, { target: 400, duration: '5s' }, { target: 400, duration: '10s' }, { target: 50, duration: '5s' },
      { target: 50, duration: '20s' }, { target: 400, duration: '5s' }, { target: 400, duration: '10s' }, { target: 50, duration: '5s' },
    ],
  },
  thousand: {
    executor: 'ramping-vus', startVUs: 200,
    stages: [{ target: 1000, duration: '30s' }, { target: 1000, duration: '1m' }, { target: 200, duration: '30s' }],
  },
};

// chosen is one stage, or all of them, each beginning when the one before has ended.
function chosen() {
  if (__ENV.STAGE) {
    return { [__ENV.STAGE]: scenarios[__ENV.STAGE] };
  }
  let begin = 0;
  const all = {};
  for (const [name, scenario] of Object.entries(scenarios)) {
    all[name] = { ...scenario, startTime: `${begin}s` };
    begin += scenario.stages.reduce((sum, s) => sum + (s.duration.endsWith('m') ? 60 : 1) * parseInt(s.duration, 10), 30);
  }
  return all;
}

export const options = {
  scenarios: chosen(),
  thresholds: {
    task_create: ['p(95)<500'],
    task_status: ['p(95)<200'],
    task_stream_open: ['p(95)<1000'],
    task_failed: ['rate<0.01'],
  },
};

export default function user() {
  const key = keys[(__VU - 1) % keys.length];
  const headers = { Authorization: `Bearer ${key}`, 'Content-Type': 'application/json' };
  const body = JSON.stringify({ body: { model, messages: [{ role: 'user', content: 'Say hello.' }] } });

  const task = http.post(`${base}/api/tasks`, body, { headers, tags: { name: 'create-task' } });
  created.add(task.timings.duration);
  failed.add(!check(task, { 'the task was made': (r) => r.status === 201 }));
  if (task.status !== 201) {
    sleep(1);
    return;
  }
  const at = base + task.json('urls.self');

  look(at, headers);
  // k6 reads a stream to its end: until the first byte is how long it took to open.
  const stream = http.get(`${base}${task.json('urls.stream_response')}`, { headers, timeout: '5m', tags: { name: 'stream-task-response' } });
  opened.add(stream.timings.waiting);
  failed.add(!check(stream, { 'the answer was followed to its end': (r) => r.status === 200 && r.body.includes('event: done') }));
  look(at, headers);
  sleep(1);
}

function look(at, headers) {
  const seen = http.get(at, { headers, tags: { name: 'get-task' } });
  status.add(seen.timings.duration);
  failed.add(!check(seen, { 'the task is there': (r) => r.status === 200 }));
}
