# shellcheck shell=bash
# Shared by the benchmarks in this folder; sourced, never run. A benchmark is a script that sources
# this file, defines the operations as functions, and calls one of
#
#   bench_section  "Title"
#   bench_compare  "what" rounds goal subject peer     ratio of two functions' wall time
#   bench_absolute "what" rounds goal_ms subject [n]   wall time of one, n calls per round
#   bench_cycle    rounds subject peer "step|what|goal" ...   several steps of two sides
#
# With `bench_clock=bench_told` before them, functions are not timed: they print microseconds.
# bench_hosts makes hosts to ssh to; bench_example builds a program that belongs to a benchmark.
#
# Times are compared within one run only: each round runs the two in the order A B B A or B A A B,
# the first round is dropped, and the figure is the median of the rounds' ratios with a bootstrap
# 95 % interval. The peer against itself, from the same rounds, is the control: where it is not
# 1.00 +/- 0.05 the machine was too restless, and the row says so. A goal counts as met when the
# upper end of the interval meets it.
#
# Before and after each timed call of `f`, the functions `prepare_f` and `clean_f` are called where
# they exist, untimed. $DWELL is the binary, $BENCH_REPORT the report.
set -euo pipefail
export LC_ALL=C

BENCH_REPORT=${BENCH_REPORT:-/dev/stdout}
BENCH_LOG=${BENCH_LOG:-$(mktemp -t bench-XXXXXX.log)}

bench_begin_report() {
    {
        echo "# Benchmarks"
        echo
        bench_machine
    } >"$BENCH_REPORT"
}

# The machine, as far as it matters to the figures.
bench_machine() {
    local cpu memory
    cpu=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -1)
    memory=$(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo 2>/dev/null || true)
    echo "* Machine: ${cpu:-$(uname -m)}, $(getconf _NPROCESSORS_ONLN) cores, ${memory:-unknown memory}"
    echo "* System: $(uname -sr), $(sed -n 's/^PRETTY_NAME="\(.*\)"/\1/p' /etc/os-release 2>/dev/null)"
    echo "* Engine: Docker $(docker version --format '{{.Server.Version}}' 2>/dev/null || echo none)," \
        "compose $(docker compose version --short 2>/dev/null || echo none)," \
        "storage $(docker info --format '{{.Driver}}' 2>/dev/null || echo none)"
    echo "* dwell: $("${DWELL:-dwell}" --version 2>/dev/null || echo "not built")"
    echo "* Load before: $(cut -d' ' -f1-3 /proc/loadavg 2>/dev/null || uptime), $(date -u +%Y-%m-%d)"
}

bench_section() {
    {
        printf '\n## %s\n\n' "$1"
        echo "| what | dwell, ms | peer, ms | ratio (95 %) | control | goal | met |"
        echo "|---|---|---|---|---|---|---|"
    } >>"$BENCH_REPORT"
}

# Runs a function once, with its untimed preparation and cleaning, and leaves its wall time in
# `bench_us`, in microseconds. A benchmark of something that fails means nothing: it ends.
bench_time() {
    local function=$1 begin end
    if declare -F "prepare_$function" >/dev/null; then bench_try "prepare_$function"; fi
    begin=${EPOCHREALTIME/./}
    bench_try "$function"
    end=${EPOCHREALTIME/./}
    if declare -F "clean_$function" >/dev/null; then bench_try "clean_$function"; fi
    bench_us=$((end - begin))
}

# The same of a function that prints how long what it does took.
bench_told() { bench_us=$("$1"); }

bench_try() {
    if ! "$1" >"$BENCH_LOG" 2>&1 </dev/null; then
        echo "error: $1 failed; its output:" >&2
        tail -n 20 "$BENCH_LOG" >&2
        exit 1
    fi
}

bench_compare() {
    local what=$1 rounds=$2 goal=$3 subject=$4 peer=$5 round order function
    local samples=''
    for ((round = 0; round <= rounds; round++)); do
        order=("$subject" "$peer" "$peer" "$subject")
        ((round % 2)) && order=("$peer" "$subject" "$subject" "$peer")
        local a=() b=()
        for function in "${order[@]}"; do
            "${bench_clock:-bench_time}" "$function"
            if [ "$function" = "$subject" ]; then a+=("$bench_us"); else b+=("$bench_us"); fi
        done
        # The first round warms up.
        ((round == 0)) || samples+="${a[*]} ${b[*]}"$'\n'
    done
    bench_row "$what" "$goal" <<<"$samples" >>"$BENCH_REPORT"
    tail -n 1 "$BENCH_REPORT" >&2
}

bench_absolute() {
    local what=$1 rounds=$2 goal=$3 subject=$4 calls=${5:-1} round call sum
    local samples=''
    for ((round = 0; round <= rounds; round++)); do
        sum=0
        for ((call = 0; call < calls; call++)); do
            "${bench_clock:-bench_time}" "$subject"
            sum=$((sum + ${bench_us%.*}))
        done
        ((round == 0)) || samples+="$((sum / calls))"$'\n'
    done
    bench_absolute_row "$what" "$goal" <<<"$samples" >>"$BENCH_REPORT"
    tail -n 1 "$BENCH_REPORT" >&2
}

# Shared by the two kinds of rows: order statistics and a bootstrap of the median.
bench_awk='
    function sort(v, n,    i, j, x) {
        for (i = 2; i <= n; i++) {
            x = v[i]
            for (j = i - 1; j >= 1 && v[j] > x; j--) v[j + 1] = v[j]
            v[j + 1] = x
        }
    }
    function median(v, n,    c, i) {
        for (i = 1; i <= n; i++) c[i] = v[i]
        sort(c, n)
        return n % 2 ? c[(n + 1) / 2] : (c[n / 2] + c[n / 2 + 1]) / 2
    }
    function bootstrap(v, n,    draws, d, i, c, m) {
        draws = 2000
        srand(1)
        for (d = 1; d <= draws; d++) {
            for (i = 1; i <= n; i++) c[i] = v[int(rand() * n) + 1]
            m[d] = median(c, n)
        }
        sort(m, draws)
        low = m[int(draws * 0.025) + 1]
        high = m[int(draws * 0.975)]
    }
    function smallest(v, n,    i, x) { x = v[1]; for (i = 2; i <= n; i++) if (v[i] < x) x = v[i]; return x }
    function largest(v, n,    i, x) { x = v[1]; for (i = 2; i <= n; i++) if (v[i] > x) x = v[i]; return x }
    function spread(v, n,    form) {
        # Times below a millisecond take more digits.
        form = median(v, n) < 1000 ? "%.3f" : "%.1f"
        form = form " (" form " to " form ")"
        return sprintf(form, median(v, n) / 1000, smallest(v, n) / 1000, largest(v, n) / 1000)
    }
    function met(middle, goal) { return high <= goal ? "yes" : middle <= goal ? "unsure" : "no" }
'

# Reads lines `a1 a2 b1 b2` in microseconds and prints the table row.
bench_row() {
    awk -v what="$1" -v goal="$2" "$bench_awk"'
        NF == 4 {
            rounds++
            ratio[rounds] = ($1 + $2) / ($3 + $4)
            control[rounds] = $3 / $4
            a[2 * rounds - 1] = $1; a[2 * rounds] = $2
            b[2 * rounds - 1] = $3; b[2 * rounds] = $4
        }
        END {
            middle = median(ratio, rounds)
            bootstrap(ratio, rounds)
            same = median(control, rounds)
            verdict = (same < 0.95 || same > 1.05) ? "void: restless machine" : met(middle, goal)
            printf "| %s | %s | %s | %.2f (%.2f to %.2f) | %.2f | at most %s x | %s |\n", what,
                spread(a, 2 * rounds), spread(b, 2 * rounds), middle, low, high, same, goal, verdict
        }'
}

# Reads lines of microseconds and prints the table row.
bench_absolute_row() {
    awk -v what="$1" -v goal="$2" "$bench_awk"'
        NF == 1 { value[++rounds] = $1 }
        END {
            middle = median(value, rounds)
            bootstrap(value, rounds)
            printf "| %s | %s | - | - | - | at most %s ms | %s |\n", what, spread(value, rounds), goal,
                met(middle, goal * 1000)
        }'
}

# Runs two sides through the same steps, interleaved as above, and writes one row for each step.
#
#   bench_cycle rounds subject peer "step|what|goal" ...
#
# A step is the function `<side>_<step>`. One without a goal is not timed.
bench_cycle() {
    local rounds=$1 subject=$2 peer=$3 round side order step what goal
    shift 3
    local -A samples=() once=()
    for ((round = 0; round <= rounds; round++)); do
        order=("$subject" "$peer" "$peer" "$subject")
        ((round % 2)) && order=("$peer" "$subject" "$subject" "$peer")
        once=()
        for side in "${order[@]}"; do
            for step in "$@"; do
                IFS='|' read -r step what goal <<<"$step"
                bench_time "${side}_$step"
                once[$step/$side]+="$bench_us "
            done
        done
        # The first round warms up.
        ((round > 0)) || continue
        for step in "$@"; do
            step=${step%%|*}
            samples[$step]+="${once[$step/$subject]}${once[$step/$peer]}"$'\n'
        done
    done
    for step in "$@"; do
        IFS='|' read -r step what goal <<<"$step"
        [ -n "$goal" ] || continue
        bench_row "$what" "$goal" <<<"${samples[$step]}" >>"$BENCH_REPORT"
        tail -n 1 "$BENCH_REPORT" >&2
    done
}

# Builds an example of a crate and prints its path, unless the folder $BENCH_EXAMPLES has it. It is
# static, so that it runs in any container.
#
#   bench_example crate name [cargo option ...]
bench_example() {
    local crate=$1 name=$2 target profile=debug
    shift 2
    if [ -x "${BENCH_EXAMPLES:-}/$name" ]; then
        realpath "$BENCH_EXAMPLES/$name"
        return
    fi
    [ "$(uname -s)" != Linux ] || export RUSTFLAGS=${RUSTFLAGS--C target-feature=+crt-static}
    target=${CARGO_BUILD_TARGET:-$(rustc -vV | sed -n 's/^host: //p')}
    [[ " $* " != *" --release "* ]] || profile=release
    cargo build --quiet --locked -p "$crate" --example "$name" --target "$target" "$@" >&2
    realpath "${CARGO_TARGET_DIR:-target}/$target/$profile/examples/$name"
}

# Makes two hosts, `one` and `two`, each with sshd and an engine, and a home that reaches them, whose
# environment the script has from then on. They end with the script, or with bench_hosts_end, which
# waits for it. Sets, for each host, its address (`one_address`), the one in a WireGuard mesh
# (`one_mesh`, empty without), its files (`one_root`). Where there can be no hosts the script ends.
bench_hosts() {
    local example variables word=
    example=$(bench_example dwell-testkit remote)
    variables=$(mktemp -t bench-XXXXXX)
    coproc BENCH_KEEPER { exec "$example" "$DWELL" "$variables"; }
    bench_keeper=$BENCH_KEEPER_PID
    if [ -n "${BENCH_KEEPER[0]:-}" ]; then read -r word <&"${BENCH_KEEPER[0]}" || true; fi
    if [ "$word" != ready ]; then
        rm -f "$variables"
        echo "There can be no hosts here, so that this was not measured."
        exit 0
    fi
    # shellcheck source=/dev/null
    . "$variables"
    rm -f "$variables"
}

bench_hosts_end() {
    if [ -z "${BENCH_KEEPER[1]:-}" ]; then return; fi
    eval "exec ${BENCH_KEEPER[1]}>&-"
    wait "$bench_keeper" || true
}
