// Runs `verify` away from the page's thread, which its references would keep busy.
import { init, verify } from './pkg/index.js';

onmessage = async ({ data }) => {
  try {
    const adapter = await init();
    postMessage({ adapter });
    const progress = (check, done, checks) => postMessage({ check, done, checks });
    const { failed } = await verify({ ...data, progress });
    postMessage({ failed });
  } catch (error) {
    postMessage({ error: `${error?.message ?? error}` });
  }
};
