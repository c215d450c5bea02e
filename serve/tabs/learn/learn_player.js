// Recorded runs, where nothing can be trained: the same pictures, played.
const PLAY_MS = { slow: 400, normal: 140, full: 40 };

async function openRecordings() {
  if (recordings) return;
  source.close();
  recordings = [];
  const response = await fetch(new URL("recorded", base));
  recordings = (await response.json()).recordings;
  one("experiment-label").textContent = props.frame.recording;
  one("experiment").replaceChildren(...recordings.map((each, i) => new Option(each.title, i)));
  one("reseed").hidden = true;
  open(0);
}

function open(index) {
  drawStatus();
  playEnd();
  const recording = recordings[index];
  player = { recording, next: 0, timer: null };
  setRuns(recording.start.runs.map((run) => Object.fromEntries(Object.keys(FAST).map((k) => [k, run[k]]))));
  one("runs").querySelectorAll("fieldset").forEach((part) => { part.disabled = true; });
  takeStart({ ...recording.start });
  showNext();
}

function showNext() {
  const { recording } = player;
  takeFrame(recording.frames[player.next]);
  player.next += 1;
  if (player.next < recording.frames.length) return;
  state.final = recording.final;
  playEnd();
  say(summary());
}

function play(paused = false) {
  if (player.timer) return playEnd();
  if (player.next >= player.recording.frames.length) open(Number(one("experiment").value));
  if (!paused) tick();
  drawButtons();
  return null;
}

function tick() {
  player.timer = setTimeout(() => {
    tick();
    showNext();
  }, PLAY_MS[one("speed").value]);
}

function playStep() {
  playEnd();
  if (player.next >= player.recording.frames.length) open(Number(one("experiment").value));
  else showNext();
}

function playEnd() {
  clearTimeout(player?.timer);
  if (player) player.timer = null;
  drawButtons();
}
