/** Services: the processes that ufes is made of. */
import type { StatusState } from '@ufes/core/dashboard.ts';
import { bytesText, shortDurationText } from '../format.ts';
import { usePolled } from '../poll.ts';
import { Card, Empty, MissingParts, StateIcon } from '../ui.tsx';

const everyMs = 2_000;

export function Page() {
  const { value: status, error } = usePolled<StatusState>('/api/status', everyMs);
  if (status === undefined) {
    return error === undefined ? <div class="loading" aria-busy="true" /> : <Empty title="No status">{error}</Empty>;
  }
  const ready = status.nodes.filter((node) => node.state === 'ready').length;
  return (
    <div class="services">
      <MissingParts missing={status.missing} />
      {error !== undefined && (
        <p class="error" role="alert">
          {error}
        </p>
      )}
      <Card title="Services" note={`${ready} of ${status.nodes.length} ready`}>
        <div class="scroll">
          <table>
            <thead>
              <tr>
                <th>Process</th>
                <th>State</th>
                <th class="number">Memory</th>
                <th class="number">Up</th>
                <th class="number">Restarts</th>
                <th class="number wide">PID</th>
              </tr>
            </thead>
            <tbody>
              {status.nodes.map((node) => (
                <tr key={node.node}>
                  <td class="strong">{node.node}</td>
                  <td>
                    <span class="with-icon">
                      <StateIcon
                        state={
                          node.state === 'ready'
                            ? 'up'
                            : node.state === 'starting' || node.state === 'restarting'
                              ? 'unknown'
                              : 'down'
                        }
                      />
                      <span>
                        {node.state}
                        {node.why !== undefined && <span class="sub">{node.why}</span>}
                      </span>
                    </span>
                  </td>
                  <td class="number">{node.rssBytes ? bytesText(node.rssBytes) : '–'}</td>
                  <td class="number">
                    {node.uptimeSeconds === undefined ? '–' : shortDurationText(node.uptimeSeconds)}
                  </td>
                  <td class="number">{node.restarts ?? '–'}</td>
                  <td class="number wide">{node.pid ?? '–'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </Card>
    </div>
  );
}
