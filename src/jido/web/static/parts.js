// What pages share that send answers: elements by name, requests, what went wrong.

export const by = (id) => document.getElementById(id);

/** Ask the server; a refusal is an Error with its sentence and status. */
export async function ask(path, body) {
  const options = body === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body),
  };
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("Jido does not answer: is it still running? What you said before is saved.");
  }
  const told = await answer.json().catch(() => ({}));
  if (answer.ok) return told;
  const error = new Error(told.error || `Jido answered ${answer.status}.`);
  error.state = told.state;
  throw error;
}

/** Show a sentence that went wrong, or take it away. */
export function showError(words) {
  by("error").textContent = words;
  by("error").hidden = !words;
}
