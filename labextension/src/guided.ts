/** Whether the page was asked to begin with the panel open: `page_config_data["mlex"]["guided"]`. */

export function isGuided(option: string): boolean {
  if (option === '') {
    return false;
  }
  const said: unknown = JSON.parse(option);
  return typeof said === 'object' && said !== null && 'guided' in said && said.guided === true;
}
