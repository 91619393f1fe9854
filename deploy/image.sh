#!/bin/sh
# The files of an image for a built peat-node, and the image. A binary that is called ddil makes that of the link emulator.
#   sh deploy/image.sh files BINARY FOLDER    FOLDER/root: binary, the libraries that it names, users, CA certificates;
#                                             FOLDER/data: what the image's user may write to, empty
#   sh deploy/image.sh build BINARY NAME:TAG  an image of them by deploy/Dockerfile.scratch (of ddil: Dockerfile.ddil-scratch);
#                                             needs an engine, pulls nothing
#   sh deploy/image.sh check FOLDER           starts the binary with FOLDER/root as its root; needs the rights of root
# Libraries are copied from this machine: build where the binary was built, or with as new a C library.
set -eu

# Read from standard input it has no folder, and needs none for the files.
here=$(cd "$(dirname "$0")" && pwd)

# Nodes are built under other names, too: of other releases, of tests.
name_of() {
    case $(basename "$1") in
    ddil) echo ddil ;;
    *) echo peat-node ;;
    esac
}

files() {
    binary=$1 tree=$2/root name=$(name_of "$1")
    mkdir -p "$tree/usr/bin" "$tree/etc/ssl/certs" "$2/data/peat-node"
    cp "$binary" "$tree/usr/bin/$name"
    # Names of functions stay, for backtraces; what a debugger wants is six times the rest.
    if command -v strip >/dev/null; then strip --strip-debug "$tree/usr/bin/$name"; fi
    chmod 755 "$tree/usr/bin/$name"
    # "name => /path (0x…)" and "/lib64/ld-linux… (0x…)"; a static binary names none. Since glibc 2.34 libc.so.6 looks up
    # names by itself, so nothing is loaded that ldd does not name.
    ldd "$tree/usr/bin/$name" 2>/dev/null | grep -o '/[^ ]*' | grep '^/lib\|^/usr/lib' | while read -r library; do
        mkdir -p "$tree$(dirname "$library")"
        cp -L "$library" "$tree$library"
    done
    printf 'peat:x:65532:65532::/data:/sbin/nologin\n' >"$tree/etc/passwd"
    printf 'peat:x:65532:\n' >"$tree/etc/group"
    printf 'hosts: files dns\n' >"$tree/etc/nsswitch.conf"
    # For relays with certificates of the public web (--relay without --relay-ca).
    if [ -r /etc/ssl/certs/ca-certificates.crt ]; then
        cp -L /etc/ssl/certs/ca-certificates.crt "$tree/etc/ssl/certs/"
    else
        echo "image.sh: no /etc/ssl/certs/ca-certificates.crt here: the image trusts no public authority" >&2
    fi
    chmod -R a+rX,go-w "$tree"
}

check() {
    # As the image's user, with the tree as its root: whatever is missing shows.
    for program in "$1"/root/usr/bin/*; do
        chroot --userspec=65532:65532 "$1/root" "/usr/bin/$(basename "$program")" --version
    done
}

build() {
    context=$(mktemp -d)
    trap 'rm -rf "$context"' EXIT
    files "$1" "$context"
    case $(name_of "$1") in
    ddil) file=Dockerfile.ddil-scratch ;;
    *) file=Dockerfile.scratch ;;
    esac
    docker build --file "$here/$file" --tag "$2" "$context"
}

case ${1:-}-$# in
files-3 | build-3) "$1" "$2" "$3" ;;
check-2) check "$2" ;;
*)
    sed -n '2,8s/^# *//p' "$0" >&2
    exit 2
    ;;
esac
