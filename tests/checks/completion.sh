#!/bin/sh
# completion.sh MUSTER: what `muster completion` prints is read by its shell
# without an error, and bash's completes what stands in the table.
set -eu
muster=$1
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

for shell in bash zsh fish; do
	"$muster" completion $shell >"$folder/$shell"
	if command -v $shell >/dev/null; then
		$shell -n "$folder/$shell"
	else
		echo "$shell is not installed: its script isn't read"
	fi
done
! "$muster" completion csh 2>/dev/null

# complete WORD…: what bash offers for the last of them.
complete()
{
	bash -c '
		source "$0"
		COMP_WORDS=("$@")
		COMP_CWORD=$(($# - 1))
		_muster
		echo "${COMPREPLY[*]}"' "$folder/bash" "$@" 2>/dev/null
}

# expect WORDS WHAT: fails where they differ.
expect()
{
	[ "$1" = "$2" ] || {
		echo "offered: '$1', not '$2'"
		exit 1
	}
}

command -v bash >/dev/null || exit 0
PATH=$folder:$PATH
cat >"$folder/muster" <<'END'
#!/bin/sh
echo '[{"id":1,"app":"api","x":1},{"id":2,"app":"api"},{"id":3,"app":"web"}]'
END
chmod +x "$folder/muster"
expect "$(complete muster rel)" reload
expect "$(complete muster --home /x des)" describe
expect "$(complete muster events --j)" --json
expect "$(complete muster run --max-rest)" --max-restarts
expect "$(complete muster stop '')" "all api web"
expect "$(complete muster stop w)" web
