# bash completion for rollcall(1); t/unit/documented.sh compares it with the table of commands

_rollcall_options() {
    local wait="--wait --timeout" settings="--relay-check --shadow --next-hop --delimiter --case-sensitive
        --threshold --stale-limit --source-stale-limit --guard-percent --follows-directory --alias-of --customer
        --loaded" lists="--domain --add --replace --disabled --strict --errors --force --note --dry-run"

    echo "-c -o --json --help --version"
    case "$1" in
        "domain add" | "domain set") echo "$settings $wait" ;;
        "domain list") echo "--customer --like" ;;
        "domain preflight") echo "--relay-check" ;;
        "domain export") echo "--postfix --type" ;;
        "domain remove") echo "--with-users $wait" ;;
        "user add") echo "--alias --name --group --disabled --note --dry-run $wait" ;;
        "user remove") echo "--all-of --note --dry-run $wait" ;;
        "user disable" | "user enable") echo "--note --dry-run $wait" ;;
        "user forget") echo "--dry-run" ;;
        "user list") echo "--domain --customer --state --source --newer --older --like --sort --limit --csv" ;;
        "user import")
            echo "--format --delimiter --encoding --columns --address-column --alias-column --name-column $lists $wait"
            ;;
        "user paste") echo "--yes $lists $wait" ;;
        "user export") echo "--domain --customer" ;;
        "account add") echo "--operator --customer --password-stdin" ;;
        "account password") echo "--password-stdin" ;;
        "ldap set")
            echo "--domain --password --no-password --default --preset --server --tls --allow-cleartext --ca --ca-file --client-certificate --client-key
                --bind-dn --sasl --password-file --base --scope --filter --member-of --groups --group-filter
                --contacts --contact-filter --address-attribute --address-use --alias-attribute --name-attribute
                --identity-attribute --disabled --page-size --entry-limit --time-limit --interval --enabled"
            ;;
        "ldap show") echo "--limit" ;;
        "ldap test") echo "--sign-in" ;;
        "ldap sync") echo "--all --dry-run --force" ;;
        "ldap remove") echo "--with-users $wait" ;;
        "change list") echo "--state --customer --limit" ;;
        "change show") echo "--limit" ;;
        "change undo" | "change approve") echo "--note --dry-run $wait" ;;
        "change reject") echo "--note" ;;
        "quarantine list") echo "--address --domain --customer --category --state --like --limit" ;;
        "quarantine show") echo "--raw" ;;
        "quarantine release") echo "--again" ;;
        "quarantine keep") echo "--category" ;;
        "sender allow" | "sender block" | "sender list" | "sender remove") echo "--user --domain" ;;
        "report set")
            echo "--customer --domain --user --enabled --users-choose --days --hours --zone --language
                --categories --block-list --sender-links --central-contact --notice-contact
                --brand-name --brand-colour --brand-logo --brand-footer"
            ;;
        "report show") echo "--customer --domain --user" ;;
        explain) echo "--sender" ;;
        "report preview") echo "--directory" ;;
        "report resend") echo "--since" ;;
        "status") echo "--watch --forget" ;;
        "config") echo "-n -d -h --source --template" ;;
    esac
}

# The values of the option before the cursor; nothing for those that only the caller knows.
_rollcall_values() {
    case "$1 $2" in
        *" --relay-check") echo "panel smtp either off" ;;
        *" --shadow") echo "panel smtp either off none" ;;
        "user list --state") echo "active disabled retired" ;;
        "user list --source") echo "smtp ldap import manual panel" ;;
        "user list --sort") echo "address name changed" ;;
        "user import --format") echo "csv plain ldif" ;;
        "user import --delimiter") echo "comma semicolon tab bar" ;;
        "ldap set --preset") echo "ad samba openldap custom" ;;
        "ldap set --tls") echo "ldaps starttls none" ;;
        "ldap set --sasl") echo "none external gssapi" ;;
        "ldap set --scope") echo "sub one base" ;;
        "quarantine "*" --category") echo "spam bulk virus content" ;;
        "quarantine list --state") echo "held allowed released deleted all" ;;
        "report set --language") echo "en de fr es" ;;
        "change list --state") echo "applied held undone rejected" ;;
    esac
}

_rollcall() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="${COMP_WORDS[COMP_CWORD - 1]}" first="" command="" i word
    local families="db customer domain user ldap change account quarantine sender report"

    COMPREPLY=()
    for ((i = 1; i < COMP_CWORD; i++)); do
        word="${COMP_WORDS[i]}"
        case "$word" in
            -c | -o) ((i++)) ;;
            -*) ;;
            *)
                if [[ -z $first ]]; then
                    first="$word"
                    [[ " $families " == *" $word "* ]] || command="$word"
                elif [[ -z $command ]]; then
                    command="$first $word"
                fi
                ;;
        esac
        [[ -n $command ]] && break
    done

    if [[ $prev == -c || $prev == --errors || ($command == "user import" && $prev != --* && $cur != -*) ]]; then
        mapfile -t COMPREPLY < <(compgen -f -- "$cur")
    elif [[ $prev == --* && -n $(_rollcall_values "$command" "$prev") ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_rollcall_values "$command" "$prev")" -- "$cur")
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_rollcall_options "$command")" -- "$cur")
    elif [[ -z $first ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$families explain status config doctor" -- "$cur")
    elif [[ -z $command ]]; then
        case "$first" in
            db) word="init upgrade status purge" ;;
            customer) word="add list show remove" ;;
            domain) word="add set show list remove preflight export" ;;
            user) word="add remove disable enable password-request show forget list import paste export" ;;
            account) word="add list remove disable enable password reset" ;;
            ldap) word="set show test sync list remove" ;;
            change) word="list show undo approve reject" ;;
            quarantine) word="list show release delete keep viruses purge" ;;
            report) word="set show preview resend" ;;
            sender) word="allow block list remove" ;;
        esac
        mapfile -t COMPREPLY < <(compgen -W "$word" -- "$cur")
    elif [[ $command == config ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(rollcall -c /dev/null config -d 2>/dev/null | cut -d' ' -f1)" -- "$cur")
    fi
}

complete -F _rollcall rollcall
