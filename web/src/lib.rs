//! What the package's `index.js` calls. Its types and their documentation are in `npm/index.d.ts`.

mod arrays;
mod cross_entropy;
mod failure;
mod object;
mod options;
mod page_buffer;
mod sample;
mod softmax;
mod start;
#[cfg(feature = "verify")]
mod verify;
