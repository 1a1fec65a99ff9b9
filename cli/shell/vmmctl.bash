# Completion of vmmctl for bash: vmmctl itself knows what can stand where.
# Readline cuts words at = and : too; the first loop puts them together again, and what is offered
# then stands for the last piece only.
_vmmctl() {
    local IFS=$' \t\n' words=() i piece cut=0 value rest head line

    for ((i = 1; i <= COMP_CWORD; i++)); do
        piece=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && $piece == [=:]* ]]; then
            words[-1]+=$piece
            cut=1
        elif [[ $cut -eq 1 && -n $piece ]]; then
            words[-1]+=$piece
            cut=0
        else
            words+=("$piece")
            cut=0
        fi
    done
    piece=${COMP_WORDS[COMP_CWORD]}
    [[ $piece == [=:]* ]] && piece=
    head=${words[-1]%"$piece"}
    COMPREPLY=()
    while IFS= read -r line; do
        value=${line%%$'\t'*}
        if [[ $value == :files ]]; then
            compopt -o default 2>/dev/null
            continue
        fi
        rest=$value
        [[ $head == *[=:]* ]] && rest=${value#"$head"}
        [[ $value == *= ]] && compopt -o nospace 2>/dev/null
        COMPREPLY+=("$rest")
    done < <("$1" __complete -- "${words[@]}" 2>/dev/null)
}
complete -F _vmmctl vmmctl
