#compdef vmmctl
# Completion of vmmctl for zsh: vmmctl itself knows what can stand where.
_vmmctl() {
    local line value about
    local -a offered whole open open_about

    offered=("${(@f)$("${(Q)words[1]}" __complete -- "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    for line in "${offered[@]}"; do
        value=${line%%$'\t'*}
        about=${line#*$'\t'}
        if [[ $value == :files ]]; then
            _files
        elif [[ $value == *= ]]; then
            open+=("$value")
            open_about+=("$value  $about")
        elif [[ -n $value ]]; then
            whole+=("${value//:/\\:}:$about")
        fi
    done
    (( ${#open} )) && compadd -S '' -l -d open_about -a open
    (( ${#whole} )) && _describe -t vmmctl vmmctl whole
    return 0
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _vmmctl "$@"
else
    compdef _vmmctl vmmctl
fi
