# Sourced by the launch scripts: sets PYTHON to one that has torch ($PYTHON if given, then `python`, then .venv's).
repository="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
has_torch() { "$1" -c 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)' 2>/dev/null; }
if [ -z "${PYTHON:-}" ]; then
  for candidate in python python3 "$repository/.venv/bin/python"; do
    if command -v "$candidate" >/dev/null 2>&1 && has_torch "$candidate"; then PYTHON="$candidate"; break; fi
  done
fi
if [ -z "${PYTHON:-}" ]; then
  echo "sdpose: error: no Python with torch found. Run \`make setup\` in $repository first." >&2
  exit 2
fi
