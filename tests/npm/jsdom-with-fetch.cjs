// jest's environment for pages, with what a page has and jsdom leaves out: as in the README.
const { TestEnvironment } = require("jest-environment-jsdom");

module.exports = class extends TestEnvironment {
  constructor(...options) {
    super(...options);
    Object.assign(this.global, { AbortController, fetch, Headers, TextDecoder, TextEncoder });
  }
};
