// What the checks of all JavaScript clients share.
import assert from 'node:assert/strict';

const { SIM_URL } = process.env;

// rejected waits for a promise to fail and gives its error.
export const rejected = async (promise) => {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  assert.fail('the call should have failed');
};

// seen waits until the simulator has counted, and fails if it does not within the time.
export const seen = async (conditions, wait) => {
  const res = await fetch(`${SIM_URL}/simulator/stats?${conditions}&wait=${wait}`);
  assert.equal(res.status, 200, `the provider did not see ${conditions} within ${wait}: ${await res.text()}`);
};

// reset makes the simulator count from zero.
export const reset = () => fetch(`${SIM_URL}/simulator/stats`, { method: 'DELETE' });

// run runs the checks one after the other. Each prints one line of JSON: its name, whether it held, and why not.
export const run = async (checks) => {
  for (const [name, check] of Object.entries(checks)) {
    try {
      await check();
      console.log(JSON.stringify({ check: name, ok: true }));
    } catch (error) {
      console.log(JSON.stringify({ check: name, ok: false, why: String(error?.stack ?? error) }));
    }
  }
  console.log(JSON.stringify({ done: Object.keys(checks).length }));
};
