// A question before something is done: a few sentences, fields, what the daemon says stands in the
// way. One dialog for all of them; what it is about is its caller's business.

import {el, isDisabled, part, setDisabled, setHidden, setText} from './dom.js';

const choice = ({id, label, options, value}) => {
    const input = el('select', {id: `ask-${id}`}, ...options.map(([word, text]) => el('option', {value: word}, text)));
    input.value = value;
    return {id, input, node: el('p', {}, el('label', {for: input.id}, label), input)};
};

const field = ({id, label, value = '', max, check = false, options = null, secret = '', fixed = false}) => {
    if (options)
        return choice({id, label, options, value});
    const input = el('input', {id: `ask-${id}`, type: check ? 'checkbox' : secret ? 'password' : 'text'});
    if (check) {
        input.checked = value;
        return {id, input, node: el('p', {class: 'check'}, input, ' ', el('label', {for: input.id}, label))};
    }
    input.value = value;
    input.maxLength = fixed ? 4096 : max ?? (secret ? 1024 : 63);
    input.readOnly = fixed;
    input.autocomplete = secret || 'off';
    input.spellcheck = false;
    return {id, input, node: el('p', {}, el('label', {for: input.id}, label), input)};
};

class AskDialog {
    #dialog = part('ask');
    #fields = [];
    #act = null;
    #turn = 0;

    constructor() {
        part('ask-form').addEventListener('submit', (event) => {
            event.preventDefault();
            if (!isDisabled(part('ask-submit')))
                this.#submit();
        });
        part('ask-cancel').addEventListener('click', () => this.#dialog.close());
    }

    // 'fields': [{id, label, value, max, check, options: [[word, text]…], secret: autocomplete, fixed}]; 'look' resolves to {says: [sentence…], blockers: [sentence…]}
    // and is asked for at once; 'act' gets {id: value…} and may throw: its sentence is shown; it may
    // resolve to the next question, or, without 'submit', to something to read.
    open({title, text = '', fields = [], submit = '', danger = false, look = null, act = null}) {
        const turn = ++this.#turn;
        this.#act = act;
        this.#fields = fields.map(field);
        setText(part('ask-title'), title);
        setText(part('ask-text'), text);
        part('ask-fields').replaceChildren(...this.#fields.map((f) => f.node));
        part('ask-says').replaceChildren();
        setText(part('ask-error'), '');
        setText(part('ask-submit'), submit);
        part('ask-submit').className = danger ? 'danger' : 'primary';
        setHidden(part('ask-submit'), !submit);
        setDisabled(part('ask-submit'), Boolean(look));
        if (!this.#dialog.open)
            this.#dialog.showModal();
        this.#fields[0]?.input.focus();
        if (this.#fields[0]?.input.readOnly)
            this.#fields[0].input.select();
        if (look)
            this.#look(look, turn);
    }

    async #look(look, turn) {
        let found;
        try {
            found = await look();
        } catch (error) {
            found = {says: [], blockers: [error.message]};
        }
        if (turn !== this.#turn || !this.#dialog.open)
            return;
        part('ask-says').replaceChildren(...found.says.map((text) => el('li', {}, text)),
            ...found.blockers.map((text) => el('li', {class: 'bad'}, text)));
        setDisabled(part('ask-submit'), found.blockers.length > 0);
    }

    // A password is as it was typed.
    async #submit() {
        if (!this.#act)
            return;
        const read = ({type, checked, value}) => (type === 'checkbox' ? checked : type === 'password' ? value : value.trim());
        const values = Object.fromEntries(this.#fields.map(({id, input}) => [id, read(input)]));
        const turn = this.#turn;
        setDisabled(part('ask-submit'), true);
        setText(part('ask-error'), '');
        try {
            const next = await this.#act(values);
            if (turn === this.#turn && next)
                this.open(next);
            else if (turn === this.#turn)
                this.#dialog.close();
        } catch (error) {
            setText(part('ask-error'), error.message);
            setDisabled(part('ask-submit'), false);
        }
    }
}

let dialog = null;

export function ask(question) {
    dialog ??= new AskDialog();
    dialog.open(question);
}
