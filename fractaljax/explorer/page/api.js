/** Requests to the server: JSON in, JSON out, one-line errors. */

/** What the server refused, in one line; `status` is the HTTP status, 0 if it did not answer. */
export class ServerError extends Error {
  constructor(message, status, wait = null) {
    super(message);
    this.status = status;
    this.wait = wait; // seconds the server asks for, or null
  }
}

/** Fetches; throws ServerError for anything but 2xx, and AbortError as it is. */
export async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ServerError('the server does not answer', 0);
  }
  if (response.ok) return response;
  const told = await response.json().catch(() => ({}));
  const wait = Number.parseFloat(response.headers.get('retry-after'));
  throw new ServerError(
    told.error || `${response.status} ${response.statusText}`,
    response.status,
    Number.isFinite(wait) ? wait : null,
  );
}

/** GET, or POST where there is a body. */
export async function json(path, { body, ...options } = {}) {
  if (body !== undefined) {
    options.method = 'POST';
    options.headers = { 'content-type': 'application/json' };
    options.body = JSON.stringify(body);
  }
  return (await request(path, options)).json();
}
