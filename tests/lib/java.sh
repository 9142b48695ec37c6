# Shared by the parts that run Java. Sourced after common.sh, with `out` set to the part's folder.

# Libraries of the original's time access internals of Java that later versions closed.
java_internals() {
    printf '%s\n' -Dio.netty.tryReflectionSetAccessible=true
    printf -- '--add-opens java.base/%s=ALL-UNNAMED\n' java.lang java.util java.util.zip java.nio java.net sun.nio.ch jdk.internal.misc
}

# require_java: installs the JDK and Maven if they are missing.
require_java() {
    command -v javac >/dev/null && command -v mvn >/dev/null && return 0
    install_packages default-jdk-headless maven
}

# guarded COMMAND...: runs it in a process group of its own, and then stops all processes that it
# started. When the part ends or is interrupted, they are stopped too, and $out/tmp is removed.
group=
stop() {
    [ -z "$group" ] || kill -KILL -- "-$group" 2>/dev/null
    rm -rf "$out/tmp"
}
trap stop EXIT
trap 'stop; echo "${0##*/}: interrupted" >&2; exit 130' INT TERM
guarded() {
    set -m
    "$@" &
    group=$!
    set +m
    wait "$group"
    local status=$?
    kill -KILL -- "-$group" 2>/dev/null
    group=
    return $status
}

# class_path POM FILE: writes the class path of POM to FILE. Asks Maven only if the pom has changed,
# or a file of the class path is missing.
class_path() {
    local pom=$1 file=$2 jar
    if [ -f "$file" ] && cmp -s "$pom" "$file.pom"; then
        local missing=
        while read -r -d : jar; do [ -f "$jar" ] || missing=$jar; done < <(cat "$file" && echo :)
        [ -n "$missing" ] || return 0
    fi
    echo "asking Maven for what $pom names (a minute the first time)"
    mvn -q -B -f "$pom" dependency:build-classpath -Dmdep.outputFile="$file" >"$out/maven.log" 2>&1 && cp "$pom" "$file.pom" && return 0
    tail -n 20 "$out/maven.log" >&2
    return 1
}
