/** The side panel: a header, an accordion of Data, Models, Train and Runs, a footer. */

import {
  addIcon,
  PanelWithToolbar,
  refreshIcon,
  SidePanel,
  Toolbar,
  ToolbarButton
} from '@jupyterlab/ui-components';
import { MessageLoop, type Message } from '@lumino/messaging';
import { type AccordionPanel, type PanelLayout, Widget } from '@lumino/widgets';

import { DataSection } from './components/DataSection';
import { Footer } from './components/Footer';
import { Header } from './components/Header';
import { ModelsSection } from './components/ModelsSection';
import { RunsSection } from './components/RunsSection';
import { SectionCount } from './components/SectionCount';
import { TrainSection } from './components/TrainSection';
import type { Mlex } from './context';
import { heights } from './heights';
import { layersIcon } from './icons';
import { MlexWidget } from './widget';

const TITLE_HEIGHT = 28;

export class MlexPanel extends SidePanel {
  constructor(private readonly mlex: Mlex) {
    super();
    this.id = 'mlex-panel';
    this.addClass('mlex-Panel');
    this.title.icon = layersIcon;
    this.title.caption = 'MLExchange';
    this.node.setAttribute('role', 'region');
    this.node.setAttribute('aria-label', 'MLExchange');

    const header = new MlexWidget(mlex, <Header />);
    header.addClass('mlex-Top');
    this.header.addWidget(header);

    const { server, actions } = mlex;
    this.accordion.titleSpace = TITLE_HEIGHT;
    this.addSection('Data', <DataSection />, 'datasets', {
      add: new ToolbarButton({ icon: addIcon, tooltip: 'Add data…', onClick: () => void actions.addData() }),
      refresh: refreshButton('data', () => server.refresh('datasets'))
    });
    this.addSection('Models', <ModelsSection />, 'models', {
      refresh: refreshButton('models', () => server.refresh('models'))
    });
    this.trainAt = this.addSection('Train', <TrainSection />, null, {});
    this.addSection('Runs', <RunsSection />, 'jobs', {
      refresh: refreshButton('runs', () => server.refresh('jobs'))
    });
    (this.layout as PanelLayout).addWidget(new MlexWidget(mlex, <Footer />));

    this.accordion.handleMoved.connect(() => (this.fitted = false));
    this.accordion.expansionToggled.connect(() => this.share());
    this.sizes = new ResizeObserver(() => this.share());
    this.sizes.observe(header.node);
  }

  get accordion(): AccordionPanel {
    return this.content as AccordionPanel;
  }

  /** Open the Train section and put the keyboard there. */
  showTrain(): void {
    this.accordion.expand(this.trainAt);
    this.sections[this.trainAt]?.node.querySelector<HTMLElement>('select, input')?.focus();
  }

  override dispose(): void {
    this.sizes.disconnect();
    super.dispose();
  }

  protected override onAfterAttach(msg: Message): void {
    super.onAfterAttach(msg);
    this.node.addEventListener('keydown', this.search);
  }

  protected override onBeforeDetach(msg: Message): void {
    this.node.removeEventListener('keydown', this.search);
    super.onBeforeDetach(msg);
  }

  protected override onResize(msg: Widget.ResizeMessage): void {
    super.onResize(msg);
    this.share();
  }

  private addSection(
    title: string,
    content: JSX.Element,
    counted: 'datasets' | 'models' | 'jobs' | null,
    buttons: Readonly<Record<string, ToolbarButton>>
  ): number {
    const toolbar = new Toolbar();
    if (counted) {
      toolbar.addItem('count', new MlexWidget(this.mlex, <SectionCount of={counted} />, true));
    }
    toolbar.addItem('spacer', Toolbar.createSpacerItem());
    Object.entries(buttons).forEach(([name, button]) => toolbar.addItem(name, button));
    const section = new PanelWithToolbar({ toolbar });
    const body = new MlexWidget(this.mlex, content);
    section.addClass('mlex-Section');
    section.title.label = title;
    section.addWidget(body);
    this.addWidget(section);
    this.sections.push(section);
    this.bodies.push(body);
    queueMicrotask(() => this.sizes.observe(body.node));
    return this.sections.length - 1;
  }

  /** Give each section the room that it needs, until somebody moves a border. */
  private share(): void {
    if (!this.fitted || !this.isVisible) {
      return;
    }
    MessageLoop.sendMessage(this.accordion, Widget.ResizeMessage.UnknownSize); // the header may have grown
    const room = this.accordion.node.clientHeight - TITLE_HEIGHT * this.sections.length;
    const wanted = this.bodies.map((body, i) => (this.sections[i]?.isHidden ? 0 : body.node.scrollHeight));
    this.accordion.setRelativeSizes(heights(wanted, room, this.trainAt), true);
  }

  /** "/" goes to the search, from anywhere but a field. */
  private readonly search = (event: KeyboardEvent): void => {
    const target = event.target as HTMLElement;
    if (event.key === '/' && !target.closest('input, select, textarea')) {
      event.preventDefault();
      this.node.querySelector<HTMLElement>('.mlex-Search input')?.focus();
    }
  };

  private readonly sections: PanelWithToolbar[] = [];
  private readonly bodies: MlexWidget[] = [];
  private readonly sizes: ResizeObserver;
  private readonly trainAt: number;
  private fitted = true;
}

function refreshButton(what: string, onClick: () => Promise<void>): ToolbarButton {
  return new ToolbarButton({ icon: refreshIcon, tooltip: `Refresh ${what}`, onClick: () => void onClick() });
}
