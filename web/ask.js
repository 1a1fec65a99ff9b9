// A question before something is done: a few sentences, fields, what the daemon says stands in the
// way. One dialog for all of them; what it is about is its caller's business.

import {el, isDisabled, part, setDisabled, setText} from './dom.js';

const field = ({id, label, value = '', max, check = false}) => {
    const input = el('input', {id: `ask-${id}`, type: check ? 'checkbox' : 'text'});
    if (check) {
        input.checked = value;
        return {id, input, node: el('p', {class: 'check'}, input, ' ', el('label', {for: input.id}, label))};
    }
    input.value = value;
    input.maxLength = max ?? 63;
    input.autocomplete = 'off';
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

    // 'fields': [{id, label, value, max, check}]; 'look' resolves to {says: [sentence…], blockers: [sentence…]}
    // and is asked for at once; 'act' gets {id: value…} and may throw: its sentence is shown.
    open({title, text = '', fields = [], submit, danger = false, look = null, act}) {
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
        setDisabled(part('ask-submit'), Boolean(look));
        this.#dialog.showModal();
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

    async #submit() {
        const values = Object.fromEntries(this.#fields.map(({id, input}) => [id, input.type === 'checkbox' ? input.checked : input.value.trim()]));
        const turn = this.#turn;
        setDisabled(part('ask-submit'), true);
        setText(part('ask-error'), '');
        try {
            await this.#act(values);
            if (turn === this.#turn)
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
