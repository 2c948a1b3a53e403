#!/usr/bin/env bash
# The DNS benchmark: queries per CPU-second of dwell's server and of dnsmasq with the same 1,000
# names and the same load, interleaved A B B A, and how soon dwell shows an update at 100,000 names.
# Needs dnsmasq, dnsperf, taskset, two cores. Everything stays on 127.0.0.1.
# usage: benches/dns.sh [rounds] [seconds per slice]
set -euo pipefail
cd "$(dirname "$0")/.."

rounds=${1:-${BENCH_ROUNDS:-10}}
seconds=${2:-2}
names=1000
bench=${DNS_BENCH:-}
if [ -z "$bench" ]; then
    bench=$(cargo build --quiet --release -p dwell-net --example dns_bench --message-format=json-render-diagnostics |
        sed -n 's/.*"executable":"\([^"]*dns_bench\)".*/\1/p')
fi
for program in dnsmasq dnsperf taskset awk; do
    command -v "$program" >/dev/null || { echo "dns.sh: $program is missing" >&2; exit 1; }
done

work=$(mktemp -d)
started=()
finish() {
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT

for ((i = 0; i < names; i++)); do
    name=s$((i % 10)).e$((i / 10)).test
    echo "10.224.$((i / 256)).$((i % 256)) $name" >>"$work/hosts"
    echo "$name A" >>"$work/queries"
done

free_port() {
    local port
    while port=$((20000 + RANDOM)); do
        if ! ss -Hltun | grep -q ":$port "; then echo "$port"; return; fi
    done
}
a_port=$(free_port)
b_port=$(free_port)

taskset -c 0 dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file= --user="$(id -un)" \
    --port="$a_port" --listen-address=127.0.0.1 --bind-interfaces --no-resolv --no-hosts \
    --addn-hosts="$work/hosts" --local=/test/ --local-ttl=1 2>"$work/dnsmasq.log" &
a_pid=$!
started+=("$a_pid")
mkfifo "$work/hold"
taskset -c 0 "$bench" serve "127.0.0.1:$b_port" "$names" <"$work/hold" &
b_pid=$!
started+=("$b_pid")
exec 9>"$work/hold"

load() { taskset -c 1 dnsperf -s 127.0.0.1 -p "$1" -d "$work/queries" -T1 -c4 -q50 -l "$2" 2>&1; }
for port in "$a_port" "$b_port"; do
    for ((try = 0; try < 100; try++)); do
        if load "$port" 0.1 | grep -q 'NOERROR'; then break; fi
        sleep 0.05
    done
done

ticks=$(getconf CLK_TCK)
cpu() { sed 's/.*) //' "/proc/$1/stat" | awk -v t="$ticks" '{ print ($12 + $13) / t }'; }

# One slice: queries answered, CPU-seconds used, queries per second, average latency in ms.
slice() {
    local before after out
    before=$(cpu "$2")
    out=$(load "$1" "$seconds")
    after=$(cpu "$2")
    if ! grep -q 'NOERROR .*(100.00%)' <<<"$out"; then
        echo "dns.sh: not every answer was good: $out" >&2
        exit 1
    fi
    awk -v before="$before" -v after="$after" '
        /Queries completed/ { done = $3 }
        /Queries per second/ { rate = $4 }
        /Average Latency/ { latency = $4 * 1000 }
        END { used = after - before; printf "%d %.2f %.0f %.3f %.0f\n", done, used, rate, latency, done / used }' <<<"$out"
}

echo "machine: $(nproc) CPUs, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1), kernel $(uname -r)"
echo "peer: $(dnsmasq --version | head -1 | cut -d' ' -f1-3); load: dnsperf -T1 -c4 -q50, $rounds rounds A B B A of $seconds s slices, server on CPU 0, load on CPU 1"
for ((round = 0; round <= rounds; round++)); do
    a1=$(slice "$a_port" "$a_pid")
    b1=$(slice "$b_port" "$b_pid")
    b2=$(slice "$b_port" "$b_pid")
    a2=$(slice "$a_port" "$a_pid")
    # The first round warms up.
    if ((round > 0)); then echo "$a1 $b1 $b2 $a2" >>"$work/rounds"; fi
done

median() { sort -n | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
column() { awk "{ print $1 }" "$work/rounds"; }
# 95 % interval of the median by resampling the rounds.
interval() {
    awk 'BEGIN { srand(1) } { v[NR] = $1 } END {
        for (s = 0; s < 1000; s++) {
            for (i = 1; i <= NR; i++) w[i] = v[1 + int(rand() * NR)]
            for (i = 2; i <= NR; i++) for (j = i; j > 1 && w[j - 1] > w[j]; j--) { t = w[j]; w[j] = w[j - 1]; w[j - 1] = t }
            print NR % 2 ? w[(NR + 1) / 2] : (w[NR / 2] + w[NR / 2 + 1]) / 2
        } }' | sort -n | awk 'NR == 26 { low = $1 } NR == 975 { printf "%.2f to %.2f", low, $1 }'
}
ratio='($10 + $15) / ($5 + $20)'
control=$(column '$5 / $20' | median)
echo "dnsmasq: $(column '($5 + $20) / 2' | median) queries per CPU-second, $(column '($3 + $18) / 2' | median) q/s, $(column '($4 + $19) / 2' | median) ms"
echo "dwell:   $(column '($10 + $15) / 2' | median) queries per CPU-second, $(column '($8 + $13) / 2' | median) q/s, $(column '($9 + $14) / 2' | median) ms"
echo "ratio of queries per CPU-second: median $(column "$ratio" | median | xargs printf '%.2f') (95 %: $(column "$ratio" | interval)), goal 1.3"
echo "control dnsmasq against itself: median $(printf '%.2f' "$control"), must be 0.95 to 1.05"
echo "memory: dnsmasq $(awk '/VmRSS/ { print $2 }' "/proc/$a_pid/status") kB, dwell $(awk '/VmRSS/ { print $2 }' "/proc/$b_pid/status") kB"
taskset -c 0,1 "$bench" update 100000
awk -v c="$control" 'BEGIN { exit !(c >= 0.95 && c <= 1.05) }' || { echo "dns.sh: the run is void: the control is off" >&2; exit 1; }
