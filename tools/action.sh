#!/usr/bin/env bash
# What the GitHub action does once fusionbench is installed; its inputs come as environment variables (action.yml describes them).
# Exit code: that of fusionbench run, else that of the check against the lock file.
set -euo pipefail
set -f # names and patterns are split by spaces and nothing else

# options -m a b c -> -m a -m b -m c
options() {
    local option=$1 word
    shift
    for word in "$@"; do printf '%s\n%s\n' "$option" "$word"; done
}

mapfile -t methods < <(options -m ${METHODS:-average})
mapfile -t tasks < <(options -t ${TASKS:-all})
mapfile -t data < <(options --data ${DATA:-})
results=${RESULTS:-fusionbench-results}
profile=${PROFILE:-dmfnet}

code=0
fusionbench run "${methods[@]}" "${tasks[@]}" --dataset "${DATASET:-phantom}" ${data[@]+"${data[@]}"} --limit "${LIMIT:-6}" \
    --profile "$profile" --results "$results" || code=$?
[ "$code" -lt 2 ] || exit "$code" # nothing to show
fusionbench report --results "$results" --images none --quiet

table=$results/table.md
{
    echo "## fusionbench"
    find "$results/leaderboard" -path '*/overall/*' -prune -o -name "$profile.md" -print | sort | xargs cat
} >"$table"

if [ -n "${LOCK:-}" ]; then
    plugins=()
    for method in ${METHODS:-}; do
        case $method in *.py | *.toml) plugins+=(--plugin "$method") ;; esac
    done
    checked=0
    told=$(fusionbench check --baseline "$LOCK" ${plugins[@]+"${plugins[@]}"} ${data[@]+"${data[@]}"}) || checked=$?
    printf '\n```\n%s\n```\n' "$told" >>"$table"
    echo "$told"
    [ "$code" -ne 0 ] || code=$checked
fi
cat "$table" >>"${GITHUB_STEP_SUMMARY:-/dev/null}"
echo "table=$table" >>"${GITHUB_OUTPUT:-/dev/null}"
exit "$code"
